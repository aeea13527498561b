//! Vectors of texts: their similarity and their length.

/// Returns the cosine of the angle between two vectors of the same length; 1 if they point the same
/// way.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
}

/// Returns the vector divided by its Euclidean norm. A vector of zeros stays as it is.
pub fn normalized(vector: &[f32]) -> Vec<f32> {
    let squares: f64 = vector.iter().map(|v| f64::from(*v).powi(2)).sum();
    // This is the same limit as in the encoder's own output, which `embed` returns.
    let norm = squares.sqrt().max(1e-12);
    vector.iter().map(|v| (f64::from(*v) / norm) as f32).collect()
}
