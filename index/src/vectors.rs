//! Vectors in memory, and the search for the nearest ones.

use half::f16;
use pulp::Arch;
use rayon::prelude::*;

use crate::dot::{Value, length};
use crate::precision::Precision;

/// Rows that a thread compares at once.
const ROWS_AT_ONCE: usize = 4096;

/// Rows of the same width, and their lengths.
pub(crate) struct Vectors {
    width: usize,
    rows: Rows,
    norms: Vec<f32>,
}

enum Rows {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Int8(Vec<i8>),
}

/// Collects vectors from little-endian bytes as they arrive.
pub(crate) struct Collector {
    width: usize,
    rows: Rows,
}

impl Collector {
    pub(crate) fn new(precision: Precision, width: usize) -> Self {
        let rows = match precision {
            Precision::F32 => Rows::F32(Vec::new()),
            Precision::F16 => Rows::F16(Vec::new()),
            Precision::Int8 => Rows::Int8(Vec::new()),
        };
        Self { width, rows }
    }

    /// Takes bytes of whole values.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        match &mut self.rows {
            Rows::F32(rows) => {
                rows.extend(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)));
            }
            Rows::F16(rows) => {
                let values = bytes.as_chunks::<2>().0.iter();
                rows.extend(values.map(|b| f16::from_le_bytes(*b)));
            }
            Rows::Int8(rows) => rows.extend(bytes.iter().map(|b| i8::from_le_bytes([*b]))),
        }
    }

    /// Returns the vectors, or the first row with a value that is not finite.
    pub(crate) fn finish(self) -> Result<Vectors, usize> {
        let width = self.width;
        let norms: Vec<f32> = match &self.rows {
            Rows::F32(rows) => norms(rows, width),
            Rows::F16(rows) => norms(rows, width),
            Rows::Int8(rows) => norms(rows, width),
        };
        match norms.iter().position(|norm| !norm.is_finite()) {
            Some(row) => Err(row),
            None => Ok(Vectors { width, rows: self.rows, norms }),
        }
    }
}

fn norms<T: Value>(rows: &[T], width: usize) -> Vec<f32> {
    let norm = |room: &mut Vec<f32>, row: &[T]| T::length(row, room) as f32;
    rows.par_chunks(width).map_init(Vec::new, norm).collect()
}

impl Vectors {
    /// Returns the cosines with `query` and the numbers of the `top` nearest rows, the nearest
    /// first. Of equal rows the first one comes first.
    pub(crate) fn nearest(&self, query: &[f32], top: usize) -> Vec<(f64, usize)> {
        match &self.rows {
            Rows::F32(rows) => self.among(rows, query, top),
            Rows::F16(rows) => self.among(rows, query, top),
            Rows::Int8(rows) => self.among(rows, query, top),
        }
    }

    fn among<T: Value>(&self, rows: &[T], query: &[f32], top: usize) -> Vec<(f64, usize)> {
        let arch = Arch::new();
        let whole = length(query);
        let unit = |value: &f32| if whole > 0.0 { (f64::from(*value) / whole) as f32 } else { 0.0 };
        let query = T::query(&query.iter().map(unit).collect::<Vec<_>>());
        let whole = length(&query);
        let cosine = |row: &[T], norm: f32, room: &mut Vec<f32>| {
            let lengths = whole * f64::from(norm);
            if lengths > 0.0 { T::dot(arch, &query, row, room) / lengths } else { 0.0 }
        };
        let best = |(block, rows): (usize, &[T])| {
            let first = block * ROWS_AT_ONCE;
            let mut room = Vec::new();
            let numbered = rows.chunks(self.width).zip(&self.norms[first..]).enumerate();
            let found =
                numbered.map(|(at, (row, norm))| (cosine(row, *norm, &mut room), first + at));
            nearest_of(found.collect(), top)
        };
        let blocks = rows.par_chunks(ROWS_AT_ONCE * self.width).enumerate().map(best);
        let join = |mut a: Vec<_>, b: Vec<_>| {
            a.extend(b);
            nearest_of(a, top)
        };
        let mut found = blocks.reduce(Vec::new, join);
        found.sort_by(order);
        found
    }

    /// Appends a row's bytes as they were read.
    pub(crate) fn pack(&self, row: usize, to: &mut Vec<u8>) {
        let range = row * self.width..(row + 1) * self.width;
        match &self.rows {
            Rows::F32(rows) => to.extend(rows[range].iter().flat_map(|v| v.to_le_bytes())),
            Rows::F16(rows) => to.extend(rows[range].iter().flat_map(|v| v.to_le_bytes())),
            Rows::Int8(rows) => to.extend(rows[range].iter().map(|v| v.to_le_bytes()[0])),
        }
    }
}

fn order(a: &(f64, usize), b: &(f64, usize)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

fn nearest_of(mut found: Vec<(f64, usize)>, top: usize) -> Vec<(f64, usize)> {
    if found.len() > top {
        found.select_nth_unstable_by(top, order);
        found.truncate(top);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns rows that differ in every precision.
    fn rows(count: usize, width: usize) -> Vec<Vec<f32>> {
        let value = |row: usize, at: usize| ((row * 31 + at * 17) % 101) as f32 / 50.0 - 1.0;
        (0..count).map(|row| (0..width).map(|at| value(row, at)).collect()).collect()
    }

    #[test]
    fn the_nearest_are_those_of_a_plain_loop() {
        for (precision, allowed) in
            [(Precision::F32, 1e-6), (Precision::F16, 1e-3), (Precision::Int8, 2e-2)]
        {
            for (count, width, top) in [(1, 3, 5), (10_000, 83, 7), (4097, 384, 1), (50, 1, 60)] {
                let rows = rows(count, width);
                let mut all = Collector::new(precision, width);
                let mut bytes = Vec::new();
                rows.iter().for_each(|row| precision.pack(row, &mut bytes));
                all.take(&bytes);
                let vectors = all.finish().unwrap();
                let query: Vec<f32> = (0..width).map(|at| 0.3 - at as f32 * 0.01).collect();
                let found = vectors.nearest(&query, top);
                assert_eq!(found.len(), top.min(count));
                let mut expected: Vec<f64> =
                    rows.iter().map(|row| cmm::cosine(&query, row)).collect();
                for (similarity, row) in &found {
                    assert!((similarity - expected[*row]).abs() < allowed, "{precision} {row}");
                }
                expected.sort_by(|a, b| b.total_cmp(a));
                for ((similarity, _), expected) in found.iter().zip(expected) {
                    assert!((similarity - expected).abs() < allowed, "{precision} {count} {width}");
                }
                let mut again = Vec::new();
                (0..count).for_each(|row| vectors.pack(row, &mut again));
                assert!(again == bytes);
            }
        }
    }

    #[test]
    fn a_value_that_is_not_finite_is_found_and_zeros_are_similar_to_nothing() {
        let mut all = Collector::new(Precision::F32, 2);
        all.take(&[1.0_f32, 2.0, f32::NAN, 0.0].map(f32::to_le_bytes).concat());
        assert_eq!(all.finish().err(), Some(1));
        let mut all = Collector::new(Precision::Int8, 2);
        all.take(&[0, 0, 1, 1]);
        assert_eq!(all.finish().unwrap().nearest(&[0.0, 1.0], 2).last(), Some(&(0.0, 0)));
    }

    #[test]
    fn neither_long_nor_short_vectors_nor_wide_ones_lose_their_direction() {
        for scale in [1e20_f32, 1.0, 1e-25] {
            let mut all = Collector::new(Precision::F32, 2);
            all.take(&[3.0 * scale, 4.0 * scale, scale, 0.0].map(f32::to_le_bytes).concat());
            let vectors = all.finish().unwrap();
            for query in [[0.0, 1e20_f32], [0.0, 1e-25]] {
                let found = vectors.nearest(&query, 2);
                assert_eq!(found[0].1, 0);
                assert!((found[0].0 - 0.8).abs() < 1e-6 && found[1].0 == 0.0, "{scale} {found:?}");
            }
        }
        let width = 200_000;
        let mut all = Collector::new(Precision::Int8, width);
        all.take(&vec![127; width]);
        let found = all.finish().unwrap().nearest(&vec![1.0; width], 1);
        assert!((found[0].0 - 1.0).abs() < 1e-6, "{found:?}");
    }
}
