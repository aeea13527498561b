//! The GLUE tasks (Wang et al., arXiv 1804.07461, section 3): readers of their files as the
//! benchmark distributes them, and their metrics.
//!
//! ```
//! let (predicted, true_scores) = ([0.1, 0.5, 0.4], [1.0, 5.0, 3.0]);
//! assert_eq!(cmm::glue::spearman(&predicted, &true_scores), 1.0);
//! ```

mod metric;
mod read;
mod task;

pub use metric::{accuracy, f1, matthews, pearson, spearman};
pub use read::{Example, read, read_bytes};
pub use task::{Metric, Task};
