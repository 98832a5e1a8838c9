"""What is played next: the planner and all that it weighs."""
