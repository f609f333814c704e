"""One video file: its time, its frames, its faults. The only part that knows PyAV."""
