# One line for each thing that is done often; `just` lists them. Every line works when it is typed, too.

[private]
default:
    @'{{ just_executable() }}' --list

# compare every kernel variant on every adapter with the reference
check *arguments:
    cargo run --release -- check {{ arguments }}

# run all tests, or those that are named: just test -p cmm --test shaders
test *arguments:
    cargo test {{ arguments }}

# format, clippy and spelling
lint:
    cargo fmt --all --check && cargo clippy --all-targets -- -D warnings && cargo clippy -p cmm-python -- -D warnings && typos

# the pages of the library
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# build the demo page and the npm package, and test both in the browsers
page:
    examples/browser/build && cargo build && npm test --prefix examples/browser/web

# build the Python package and run its tests
python:
    python3 -m venv target/python && MATURIN_PEP517_ARGS="--profile dev" target/python/bin/python -m pip install -q "./bindings/python[test,langchain,llama-index,haystack,ray]" && cd bindings/python && ../../target/python/bin/python -m pytest -q

# what CMM buys on this machine: just bench, or a preset and its options: just bench bert-base --cpu
bench *arguments="--quick":
    cargo run --release -- bench {{ arguments }}

# fuzz every reader of files for so many seconds, or those that are named: just fuzz 60 npy index
fuzz seconds *targets:
    fuzz/run {{ seconds }} {{ targets }}

# licences, sources and advisories of dependencies, and every set of features
dependencies:
    cargo deny --workspace check && cargo hack check --feature-powerset -p cmm -p cmm-cli -p cmm-index -p cmm-serve

# what every change must pass, as CI runs it on Debian
ci:
    .ci/run

# what is slow and finds little in a single change, as the scheduled workflow runs it on Debian
nightly:
    .ci/nightly
