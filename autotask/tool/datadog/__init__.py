"""What Datadog is asked to watch and to show: monitors and a dashboard, made of the tasks seen."""
