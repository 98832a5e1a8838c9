"""What a performer can turn: controls, controllers, scenes, and what they learn."""
