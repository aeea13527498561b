//! Checks that the sizes of a configuration, read from a file or made by hand, can be an encoder's.

use crate::dtype::row_stride;
use crate::error::{Error, Result};
use crate::model::{EncoderConfig, Family, Ffn};

/// The largest size of any kind; no published model comes near it.
const LARGEST: usize = 1 << 28;
/// The most positions for which sinusoids are computed.
const MOST_SINUSOIDS: usize = 1 << 16;

impl EncoderConfig {
    /// Refuses sizes that no encoder can have. Every function that takes a configuration calls this
    /// first, so a configuration made by hand obeys the same rules as a file.
    ///
    /// # Errors
    /// [`Error::Config`] names the size: one that is 0 or above 2^28, heads that do not divide the
    /// width, an odd width with sinusoidal positions, an epsilon outside of 0 to 1, or a matrix of
    /// more than 2^32 - 1 values.
    pub fn validate(&self) -> Result<()> {
        let ffn = match self.ffn {
            Ffn::Dense { width } => width,
            Ffn::Fff { trees, .. } => {
                self.ffn.shape(self.hidden)?;
                trees
            }
        };
        let token_types = match self.family {
            Family::CrammedBert => 1,
            Family::Bert => self.token_types,
        };
        for (what, size) in [
            ("layers", self.layers),
            ("hidden size", self.hidden),
            ("attention heads", self.heads),
            ("vocabulary", self.vocabulary),
            ("positions", self.positions),
            ("token types", token_types),
            ("feedforward width or trees", ffn),
        ] {
            if !(1..=LARGEST).contains(&size) {
                return Err(Error::config(what, format!("1 to {LARGEST}"), size));
            }
        }
        if !self.hidden.is_multiple_of(self.heads) {
            let expected = format!("a multiple of the {} heads", self.heads);
            return Err(Error::config("hidden size", expected, self.hidden));
        }
        if self.family == Family::CrammedBert && !self.hidden.is_multiple_of(2) {
            let expected = "an even number, for sinusoidal positions";
            return Err(Error::config("hidden size", expected, self.hidden));
        }
        if self.family == Family::CrammedBert && self.token_types > 1 {
            // crammedBERT has no token-type embedding, and the types of a batch must be below this
            // number.
            let expected = "0 or 1, because crammedBERT has no token-type embedding";
            return Err(Error::config("token types", expected, self.token_types));
        }
        if self.family == Family::CrammedBert && self.positions > MOST_SINUSOIDS {
            // Other families' positions are a tensor of the checkpoint. These are computed, so a
            // file could ask for any number of them.
            let expected = format!("at most {MOST_SINUSOIDS} sinusoidal positions");
            return Err(Error::config("positions", expected, self.positions));
        }
        if !(1e-30..1.0).contains(&self.norm_eps) {
            return Err(Error::config("eps of LayerNorm", "0 < eps < 1", self.norm_eps));
        }
        let dense = if let Ffn::Dense { width } = self.ffn { width } else { 1 };
        let rows = [
            ("word embedding", self.vocabulary),
            ("position embedding", self.positions),
            ("token-type embedding", token_types),
            ("feedforward layer", dense),
            // Heads are padded to whole vec4, which is at most four times their width.
            ("projection of queries, keys and values", 12 * self.hidden),
        ];
        for (what, rows) in rows {
            let values = (rows as u64).checked_mul(row_stride(self.hidden) as u64);
            if values.is_none_or(|values| values > u64::from(u32::MAX)) {
                let found = format!("[{rows}, {}]", self.hidden);
                let what = format!("values of the {what}");
                return Err(Error::config(what, format!("at most {}", u32::MAX), found));
            }
        }
        Ok(())
    }
}
