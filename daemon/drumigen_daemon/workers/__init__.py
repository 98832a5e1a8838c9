"""Writers on other machines: bars and songs over Celery.  Needed only where a broker is set."""
