"""The generator's process: writes bars, asked by the planner through its link."""
