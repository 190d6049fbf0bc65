"""From graph to plan: the input of a backend, which knows neither graph nor ops."""
