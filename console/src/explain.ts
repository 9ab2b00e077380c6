// The gate's codes in a sentence each.
const CODES: Record<string, string> = {
  no_proof: "The model is guarded, and you have shown nothing that lets you in.",
  not_granted: "The proof you showed does not let you play here.",
  not_yet: "The grant you showed has not begun yet.",
  expired: "The grant you showed has ended.",
  revoked: "The lab took your grant back. The model does not answer you any more.",
  revocation_stale: "The server cannot tell whether grants were revoked, so it lets nobody in. Try again in a moment.",
  replayed: "The server has seen this very request before.",
  malformed: "The server could not read the proof, or it was made for another place.",
  too_many_proofs: "The server has too many proofs to check. Try again in a moment.",
  overloaded: "The server has too much to do. Try again in a moment.",
  no_such_app: "Nothing is deployed under this name.",
};

export function explain(code: string): string {
  return CODES[code] ?? "The server gave no other reason.";
}
