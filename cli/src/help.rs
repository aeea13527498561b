//! The parts of the help that commands share: the headings of options, and the examples at the end.

/// Which texts, lines or tensors a command reads.
pub const INPUT: &str = "Input";
/// Which model, and what stands before each text.
pub const MODEL: &str = "Model";
/// Which device, and how it computes.
pub const DEVICE: &str = "Device";
/// Which layer `cmm run` and `cmm bench` compute.
pub const LAYER: &str = "Layer";
/// Where a server listens, and how it answers.
pub const SERVER: &str = "Server";
/// How much a server takes.
pub const LIMITS: &str = "Limits";
/// Where results go, and in which form.
pub const OUTPUT: &str = "Output";

/// The first line of every list of examples.
pub const EXAMPLES: &str = "Examples:";

pub const CMM: &str = "Examples:
  cmm embed \"A man is playing a flute.\"
  cmm similarity \"A man is playing a flute.\" \"Somebody makes music.\"
  cmm search \"what to do without a GPU\" README.md docs -k 3
  cmm devices
`cmm COMMAND --help` explains a command and its options.";

pub const EMBED: &str = "Examples:
  cmm embed \"A man is playing a flute.\"
  cmm embed --in texts.txt --output vectors.npy
  cmm embed --in reviews.jsonl --field text --json";

pub const SIMILARITY: &str = "Examples:
  cmm similarity \"A man is playing a flute.\" \"Somebody makes music.\"
  cmm similarity --json \"The sea is calm.\" \"There are no waves.\"";

pub const SEARCH: &str = "Examples:
  cmm search \"what to do without a GPU\" README.md
  cmm search \"what to do without a GPU\" README.md docs -k 3 --json
  cmm search \"a comfortable chair\" reviews.jsonl --field text
  cmm search \"what to do without a GPU\" --index docs.index";

pub const INDEX: &str = "Examples:
  cmm index README.md docs --output docs.index
  cmm index reviews.jsonl --field text --output reviews.index --vectors int8
  cmm search \"what to do without a GPU\" --index docs.index";

pub const SERVE: &str = "Examples:
  cmm serve
  cmm serve --port 8080 --index docs.index
  cmm serve --model small=models/fastminilm --model sentence-transformers/all-MiniLM-L6-v2";

pub const CLASSIFY: &str = "Examples:
  cmm classify \"A lovely, quiet film.\" \"Two hours I will not get back.\"
  cmm classify --in reviews.txt --json
  cmm classify --in pairs.jsonl --field premise --pair hypothesis --model models/nli";

pub const FILL_MASK: &str = "Examples:
  cmm fill-mask \"Paris is the capital of <mask>.\" --model pbelcak/UltraFastBERT-1x11-long
  cmm fill-mask --in texts.txt -k 1 --model pbelcak/UltraFastBERT-1x11-long";

/// The help of the model's option where no model that comes with cmm will do.
pub const MASK_MODEL: &str =
    "The model, which has a head for masks: a folder or a hub id [required]";
pub const MASK_MODEL_LONG: &str = "The model, which has a head for masks: a folder or a hub id [required]

A hub id such as pbelcak/UltraFastBERT-1x11-long is fetched into the hub's cache the first time. No model that comes with cmm has such a head.";

pub const INSPECT: &str = "Examples:
  cmm inspect
  cmm inspect --text \"A man is playing a flute.\"
  cmm inspect --model sentence-transformers/all-MiniLM-L6-v2 --json";

pub const GLUE: &str = "Examples:
  cmm glue --task stsb --data sts-dev.csv
  cmm glue --task sst2 --data SST-2/dev.tsv --json";

pub const DEVICES: &str = "Examples:
  cmm devices
  cmm devices --json";

pub const CHECK: &str = "Examples:
  cmm check
  cmm check --device 0 --variant subgroup/f32";

pub const BENCH: &str = "Examples:
  cmm bench --quick
  cmm bench --quick --cpu --output here.json --html here.html
  cmm bench --width 1024 --fff 4x9,signed:1x11 --batch 1,64
  cmm bench show here.json --format md
  cmm bench compare here.json there.json";

pub const BENCH_COMPARE: &str = "Examples:
  cmm bench compare here.json there.json";

pub const BENCH_SHOW: &str = "Examples:
  cmm bench show here.json
  cmm bench show here.json --format md
  cmm bench show here.json --html here.html";

pub const RUN: &str = "Examples:
  cmm run --weights layer.safetensors --trees 1 --depth 11 --input x.npy --output y.npy
  cmm run --weights leaves.safetensors --form leaf --activation relu --input x.npy --output y.npy";

pub const COMPLETIONS: &str = "Examples:
  cmm completions bash > ~/.local/share/bash-completion/completions/cmm
  cmm completions zsh > ~/.zfunc/_cmm
  cmm completions fish > ~/.config/fish/completions/cmm.fish";

pub const MAN: &str = "Examples:
  cmm man ~/.local/share/man/man1
  cmm man | man -l -";
