//! How much load the tests generate.

/// The number of repetitions in a test: `usual` times `QUORATE_E2E_SCALE` (a number above 0, by
/// default 1).
///
/// # Panics
/// If the variable has any other value.
pub fn scaled(usual: usize) -> usize {
    let scale = match std::env::var("QUORATE_E2E_SCALE") {
        Ok(text) => text.parse::<f64>().ok().filter(|scale| scale.is_finite() && *scale > 0.0),
        Err(_) => Some(1.0),
    };
    let scale = scale.expect("QUORATE_E2E_SCALE is a number above 0");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let scaled = (usual as f64 * scale).ceil() as usize;
    scaled.max(1)
}
