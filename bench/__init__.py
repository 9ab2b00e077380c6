"""How fast we are beside what people use now: one small file a peer, one harness. README.md says how to write one."""
