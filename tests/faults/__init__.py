"""What goes wrong outside of Unmask, made to happen: docs/faults.md says what is promised of each."""
