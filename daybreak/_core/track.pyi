def new_run_id() -> str:
    """A new run id: UUID version 7."""
