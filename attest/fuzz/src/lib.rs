//! What must hold for any bytes, shared by the fuzz targets and by the replay on stable. Holds no fuzzing engine.

pub mod properties;
