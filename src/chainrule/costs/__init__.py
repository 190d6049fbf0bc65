"""What a plan costs: work, time and memory, forecast and measured."""
