"""The commands of ``drumigen``, each imported only when it is called for."""
