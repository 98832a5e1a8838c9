"""drumigen: the musical core.  What is played; never when, nor through which port."""
