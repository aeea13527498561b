//! The arguments of `cmm bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::device::DeviceChoice;
use crate::help::{BENCH_COMPARE, BENCH_SHOW, DEVICE, LAYER, OUTPUT};
use crate::run::PrecisionArgument;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub other: Option<Other>,
    #[command(flatten)]
    pub run: RunArguments,
}

#[derive(Subcommand)]
pub enum Other {
    /// Print two files of results side by side
    #[command(after_help = BENCH_COMPARE)]
    Compare {
        /// A file that `cmm bench --output` wrote
        a: PathBuf,
        /// Another such file
        b: PathBuf,
    },
    /// Print a file of results again, or make a page of it
    #[command(after_help = BENCH_SHOW)]
    Show {
        /// A file that `cmm bench --output` wrote
        file: PathBuf,
        #[command(flatten)]
        form: FormArguments,
    },
}

#[derive(Args)]
pub struct FormArguments {
    /// The form of the rows on stdout
    #[arg(short, long, value_enum, default_value_t = Format::Table, help_heading = OUTPUT)]
    pub format: Format,
    /// The file to write a page with charts to
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub html: Option<PathBuf>,
}

#[derive(Args)]
pub struct RunArguments {
    /// The presets to measure: bert-base, trees-vs-depth, gpt3, model, model-minilm [default: bert-base]
    #[arg(value_name = "PRESET")]
    pub presets: Vec<String>,
    /// Take fewer samples and smaller batches, in less than a minute
    #[arg(long, help_heading = LAYER)]
    pub quick: bool,
    /// The width of x and y of a layer of your own, instead of a preset
    #[arg(long, conflicts_with = "presets", help_heading = LAYER)]
    pub width: Option<usize>,
    /// The FFF layers, such as 1x11,signed:1x11,leaf:7x32 [default: the preset's]
    ///
    /// A layer is its trees and their depth, with `signed:` before them in that form. In the leaf form it is the depth and the neurons of a leaf. With
    /// --width, the default is 1x11.
    #[arg(long, value_name = "LAYERS", value_delimiter = ',', help_heading = LAYER)]
    pub fff: Vec<String>,
    /// The neurons of the dense layer beside them [default: the preset's]
    ///
    /// With --width, the default is the number of neurons of the first FFF layer.
    #[arg(long, help_heading = LAYER)]
    pub neurons: Option<usize>,
    /// The tokens at once, a list such as 1,64,1024
    #[arg(short, long, value_name = "TOKENS", value_delimiter = ',', help_heading = LAYER)]
    pub batch: Vec<usize>,
    /// The precisions of the weights, a list such as f32,f16
    #[arg(long, value_delimiter = ',', help_heading = LAYER)]
    pub precision: Vec<PrecisionArgument>,
    /// Measure dense layers in every tile, not only in the one that would be chosen
    #[arg(long, help_heading = LAYER)]
    pub all_tiles: bool,
    /// The device: cpu, or a GPU that `cmm devices` lists [default: the best GPU]
    ///
    /// A GPU is named by its index in `cmm devices`, its backend (vulkan, metal, dx12 or gl), its PCI bus id, or a part of its name.
    #[arg(long, value_name = "DEVICE", default_value = "auto", hide_default_value = true, help_heading = DEVICE)]
    pub device: DeviceChoice,
    /// Measure the CPU too: CMM and the best dense layer on its threads
    #[arg(long, help_heading = DEVICE)]
    pub cpu: bool,
    /// Measure the CPU alone, as --device cpu does
    #[arg(long, help_heading = DEVICE)]
    pub no_gpu: bool,
    /// The threads of the CPU rows; 0 is all of them
    #[arg(long, default_value_t = 0, help_heading = DEVICE)]
    pub threads: usize,
    /// Keep the checks at run time that wgpu adds to shaders
    #[arg(long, help_heading = DEVICE)]
    pub check_shaders: bool,
    /// The file to write the results to, as JSON
    ///
    /// It is written after every row, so that a run that is interrupted keeps the rows that it has.
    #[arg(short, long, value_name = "FILE", alias = "out", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub form: FormArguments,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    Table,
    Md,
    Csv,
    Json,
}
