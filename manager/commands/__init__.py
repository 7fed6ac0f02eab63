"""Commands that ask a manager: tasks, submit, cancel, labels, rollback."""
