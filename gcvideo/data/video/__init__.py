"""Video files: times, frames and faults. The only package that imports PyAV."""
