"""Songs on request: the queue of jobs, and the process that renders them."""
