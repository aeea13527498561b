//! The source of a kernel before it is compiled: files of `shaders/` with constants, and the facts
//! that the host must know to run it.

use crate::gpu::{Capabilities, Grid};

/// Includes a file of `shaders/`.
macro_rules! shader {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $file))
    };
}
pub(crate) use shader;

/// The use that a kernel makes of the buffer at one binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// `var<uniform>`: the number of rows to compute.
    Extents,
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// A kernel that is ready to compile: its WGSL with the launch constants, and the facts that the
/// host must know to run it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelSource {
    /// The name, for labels and messages.
    pub name: String,
    /// The whole module; its entry point is `main`.
    pub wgsl: String,
    /// The pipeline-overridable constants.
    pub overrides: Vec<(&'static str, u32)>,
    /// The bindings 0.. of group 0.
    pub bindings: Vec<Binding>,
    /// The invocations of a workgroup, in x only.
    pub group: u32,
    /// The workgroups that compute a number of rows.
    pub grid: Grid,
    /// The lanes that share a token. The f16 formats order a row's weights by it.
    pub lanes: u32,
    /// Whether wgpu's loop counters stay, so that the driver unrolls nothing. Some kernels are
    /// faster so.
    pub bounded_loops: bool,
    /// The most roundings that a product passes through on its way into a logit; see
    /// [`logit_bound`](crate::reference::logit_bound).
    pub roundings: u32,
}

impl KernelSource {
    /// Returns the number of workgroups to dispatch for `rows` rows.
    pub fn workgroups(&self, rows: u32, device: &Capabilities) -> [u32; 3] {
        self.grid.workgroups(rows, device)
    }
}

/// The definition of a kernel by its files.
pub(crate) struct KernelDef<'d> {
    pub(crate) name: String,
    /// The files of `shaders/` in their order. Only the first may contain `enable`, which must come
    /// first.
    pub(crate) parts: &'d [&'d str],
    /// The constants `const NAME: u32 = value;`. They come before the files that use them and after
    /// those that enable something.
    pub(crate) constants: &'d [(&'d str, u32)],
    /// The declarations of constants of other types.
    pub(crate) declarations: &'d [String],
    /// For each bound of a loop that is marked `/* unrolled */`: how often the loop runs, and up to
    /// how many runs it is written out.
    pub(crate) loops: &'d [(&'d str, u32, u32)],
    pub(crate) overrides: Vec<(&'static str, u32)>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) group: u32,
    pub(crate) grid: Grid,
}

impl KernelDef<'_> {
    /// Returns the kernel. If a marked loop is not among `loops`, or one of `loops` is not marked,
    /// the module contains words that say so and do not compile. So no loop stays rolled unnoticed.
    pub(crate) fn source(self) -> KernelSource {
        let (first, rest) = self.parts.split_first().unwrap_or((&"", &[]));
        let enables = first.lines().any(|line| line.starts_with("enable "));
        let mut wgsl = if enables { (*first).to_owned() } else { String::new() };
        for (name, value) in self.constants {
            wgsl += &format!("const {name}: u32 = {value}u;\n");
        }
        self.declarations.iter().for_each(|line| wgsl += line);
        if !enables {
            wgsl += first;
        }
        rest.iter().for_each(|part| wgsl += part);
        let mut unused: Vec<_> = self.loops.iter().map(|(bound, ..)| *bound).collect();
        wgsl = unrolled(wgsl, |bound| {
            unused.retain(|other| *other != bound);
            self.loops
                .iter()
                .find(|(name, ..)| *name == bound)
                .map(|(_, count, most)| (*count, *most))
        });
        for bound in unused {
            wgsl += &format!("no loop to {bound} is marked\n");
        }
        KernelSource {
            name: self.name,
            wgsl,
            overrides: self.overrides,
            bindings: self.bindings,
            group: self.group,
            grid: self.grid,
            lanes: 1,
            bounded_loops: false,
            roundings: 0,
        }
    }
}

/// The mark before a loop that is to be written out.
const MARK: &str = "/* unrolled */ ";
/// The words that make a module invalid if a marked loop has no count.
const UNLISTED: &str = "a marked loop without a count:\n";

/// Writes out the marked loops as `{ const i = 0u; ... } { const i = 1u; ... } ...`, except those
/// that run more often than is allowed.
///
/// wgpu bounds each loop with a counter of its own, and no driver unrolls such a loop, so arrays
/// would not stay in registers: on an H200 the difference is 106 us against 440 us (768 wide, 1x11,
/// f32, 16,384 tokens).
fn unrolled(mut wgsl: String, mut count_of: impl FnMut(&str) -> Option<(u32, u32)>) -> String {
    let mut from = 0;
    while let Some(found) = wgsl[from..].find(MARK) {
        let mark = from + found;
        let start = mark + MARK.len();
        let known = head(&wgsl[start..]).and_then(|(variable, bound, length)| {
            count_of(bound).map(|count| (variable.to_owned(), start + length, count))
        });
        let Some((variable, body, (count, most))) = known else {
            wgsl.insert_str(mark, UNLISTED);
            from = start + UNLISTED.len();
            continue;
        };
        if count > most {
            wgsl.replace_range(mark..start, "");
            from = mark;
            continue;
        }
        let mut open = 1;
        let closes = |(_, brace): &(usize, char)| {
            open += match brace {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            open == 0
        };
        let Some((length, _)) = wgsl[body..].char_indices().find(closes) else { break };
        let copies: String = (0..count)
            .map(|i| format!("{{ const {variable} = {i}u;{}}}\n", &wgsl[body..body + length]))
            .collect();
        wgsl.replace_range(mark..=body + length, &copies);
        from = mark;
    }
    wgsl
}

/// Returns the variable, the bound and the length of `for (var i = 0u; i < BOUND; i++) {`.
fn head(text: &str) -> Option<(&str, &str, usize)> {
    let length = text.find('{')? + 1;
    let (variable, rest) = text[..length].strip_prefix("for (var ")?.split_once(" = 0u; ")?;
    let bound = rest.strip_prefix(variable)?.strip_prefix(" < ")?.split(';').next()?;
    let expected = format!("; {variable}++) {{");
    rest.ends_with(&expected).then_some((variable, bound, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembled(file: &str, loops: &[(&str, u32, u32)]) -> String {
        let def = KernelDef {
            name: "test".into(),
            parts: &["enable f16;\n", file],
            constants: &[("N", 2)],
            declarations: &[],
            loops,
            overrides: Vec::new(),
            bindings: Vec::new(),
            group: 1,
            grid: Grid::Rows(1),
        };
        def.source().wgsl
    }

    #[test]
    fn marked_loops_are_written_out_and_forgotten_ones_do_not_compile() {
        let file = "/* unrolled */ for (var i = 0u; i < N; i++) { a[i] = { 1 }; }\n";
        let wgsl = assembled(file, &[("N", 2, 4)]);
        assert!(wgsl.starts_with("enable f16;\nconst N: u32 = 2u;\n"), "{wgsl}");
        assert!(wgsl.contains("{ const i = 0u; a[i] = { 1 }; }\n{ const i = 1u; a[i]"), "{wgsl}");
        assert!(!wgsl.contains("for"), "{wgsl}");
        let long = assembled(file, &[("N", 5, 4)]);
        assert!(long.contains("\nfor (var i = 0u; i < N; i++)"), "{long}");
        let unlisted = assembled(file, &[]);
        assert!(unlisted.contains(UNLISTED), "{unlisted}");
        let unmarked = assembled("for (var i = 0u; i < N; i++) { }", &[("N", 2, 4)]);
        assert!(unmarked.contains("no loop to N is marked"), "{unmarked}");
    }
}
