//! Sums of products of bytes, for a few tokens and outputs at once, by the best instructions that
//! the processor has.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, __m512i, _mm256_dpbusd_avx_epi32, _mm256_loadu_si256, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256, _mm512_dpbusd_epi32, _mm512_loadu_si512,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
};

/// Inputs whose products one instruction adds.
pub(super) const GROUP: usize = 4;
/// Outputs of a tile.
pub(super) const OUTPUTS: usize = 64;
/// Tokens of a tile. With four registers of sixteen sums for each token, all sums stay in the
/// thirty-two registers of AVX-512.
pub(super) const TOKENS: usize = 6;

/// The weights of a tile's outputs for a group of inputs, `[outputs, inputs]`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Block(pub(super) [i8; OUTPUTS * GROUP]);

impl Default for Block {
    fn default() -> Self {
        Self([0; OUTPUTS * GROUP])
    }
}

/// The sums of a tile, `[tokens, outputs]`.
pub(super) type Sums = [[i32; OUTPUTS]; TOKENS];

/// Computes the sums over all groups g: `weights[g]` times `x[t][g]` of each token t.
#[inline(always)]
#[allow(
    unsafe_code,
    reason = "instructions that not every processor has are behind unsafe functions"
)]
pub(super) fn tile(weights: &[Block], x: [&[[u8; GROUP]]; TOKENS], sums: &mut Sums) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
            // SAFETY: the processor has the instructions that the function is compiled for.
            return unsafe { avx512_vnni(weights, x, sums) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni") {
            // SAFETY: the processor has the instructions that the function is compiled for.
            return unsafe { avx_vnni(weights, x, sums) };
        }
    }
    portable(weights, x, sums);
}

/// Computes a tile on processors without such instructions.
#[inline(always)]
fn portable(weights: &[Block], x: [&[[u8; GROUP]]; TOKENS], sums: &mut Sums) {
    *sums = [[0; OUTPUTS]; TOKENS];
    for (sums, x) in sums.iter_mut().zip(x) {
        for (weights, x) in weights.iter().zip(x) {
            let x = x.map(i32::from);
            for (sum, weights) in sums.iter_mut().zip(weights.0.as_chunks::<GROUP>().0) {
                *sum += (0..GROUP).map(|i| x[i] * i32::from(weights[i])).sum::<i32>();
            }
        }
    }
}

/// Defines a function that computes a tile on registers of `$lanes` sums. It takes as many
/// registers of each token at once as let all sums stay in registers.
#[cfg(target_arch = "x86_64")]
macro_rules! by_registers {
    ($name:ident, $features:literal, $register:ty, $lanes:literal, $at_once:literal, $zero:ident, $set:ident, $load:ident, $store:ident, $add:ident) => {
        #[target_feature(enable = $features)]
        #[allow(unsafe_code, reason = "registers are read and written through pointers")]
        fn $name(weights: &[Block], x: [&[[u8; GROUP]]; TOKENS], sums: &mut Sums) {
            let x = x.map(|x| &x[..weights.len()]);
            for first in (0..OUTPUTS).step_by($lanes * $at_once) {
                let mut registers = [[$zero(); $at_once]; TOKENS];
                for (group, block) in weights.iter().enumerate() {
                    let row: [$register; $at_once] = std::array::from_fn(|i| {
                        let bytes = &block.0[(first + i * $lanes) * GROUP..][..$lanes * GROUP];
                        // SAFETY: the slice is as long as the register, which need not be aligned.
                        unsafe { $load(bytes.as_ptr().cast()) }
                    });
                    for (registers, x) in registers.iter_mut().zip(x) {
                        let x = $set(i32::from_le_bytes(x[group]));
                        for (register, weights) in registers.iter_mut().zip(row) {
                            *register = $add(*register, x, weights);
                        }
                    }
                }
                for (sums, registers) in sums.iter_mut().zip(registers) {
                    for (i, register) in registers.into_iter().enumerate() {
                        let sums = &mut sums[first + i * $lanes..][..$lanes];
                        // SAFETY: the slice is as long as the register, which need not be aligned.
                        unsafe { $store(sums.as_mut_ptr().cast(), register) }
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
by_registers!(
    avx512_vnni,
    "avx512f,avx512vnni",
    __m512i,
    16,
    4,
    _mm512_setzero_si512,
    _mm512_set1_epi32,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_dpbusd_epi32
);
#[cfg(target_arch = "x86_64")]
by_registers!(
    avx_vnni,
    "avx2,avxvnni",
    __m256i,
    8,
    2,
    _mm256_setzero_si256,
    _mm256_set1_epi32,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_dpbusd_avx_epi32
);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of instructions that this processor has gives the sums of 64-bit arithmetic, also
    /// for the largest bytes.
    #[test]
    #[allow(unsafe_code, reason = "as tile()")]
    fn sums_are_exact() {
        type Kind = fn(&[Block], [&[[u8; GROUP]]; TOKENS], &mut Sums);
        let mut kinds: Vec<(&str, Kind)> = vec![("portable", portable), ("chosen", tile)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                // SAFETY: the processor has the instructions that the function is compiled for.
                kinds.push(("avx512", |w, x, sums| unsafe { avx512_vnni(w, x, sums) }));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni") {
                // SAFETY: the processor has the instructions that the function is compiled for.
                kinds.push(("avx", |w, x, sums| unsafe { avx_vnni(w, x, sums) }));
            }
        }
        for groups in [0, 1, 7, 96, 4096] {
            for largest in [false, true] {
                // These numbers have no pattern, so every wrong order changes the sums.
                let mixed = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
                let byte = |i: usize| if largest { 255 } else { mixed(i) };
                let weight = |i: usize| if largest { -127 } else { (mixed(i + 1) as i8).max(-127) };
                let weights: Vec<_> = (0..groups)
                    .map(|g| Block(std::array::from_fn(|i| weight(g * OUTPUTS * GROUP + i))))
                    .collect();
                let rows: Vec<Vec<[u8; GROUP]>> = (0..TOKENS)
                    .map(|t| {
                        let group = |g| std::array::from_fn(|i| byte((t * groups + g) * GROUP + i));
                        (0..groups).map(group).collect()
                    })
                    .collect();
                let want = |t: usize, o: usize| -> i64 {
                    let product = |g: usize, i: usize| {
                        i64::from(rows[t][g][i]) * i64::from(weights[g].0[o * GROUP + i])
                    };
                    (0..groups).map(|g| (0..GROUP).map(|i| product(g, i)).sum::<i64>()).sum()
                };
                for (name, kind) in &kinds {
                    let mut sums = [[-1; OUTPUTS]; TOKENS];
                    kind(&weights, std::array::from_fn(|t| &rows[t][..]), &mut sums);
                    for (t, o) in (0..TOKENS).flat_map(|t| (0..OUTPUTS).map(move |o| (t, o))) {
                        let got = i64::from(sums[t][o]);
                        assert_eq!(got, want(t, o), "{name}, {groups} groups, {t}, {o}");
                    }
                }
            }
        }
    }
}
