//! Compiles the kernel programs into `OUT_DIR`.

use std::env;
use std::path::{Path, PathBuf};

use libbpf_cargo::SkeletonBuilder;

const SOURCES: &str = "src/bpf/kernel";

fn main() {
    println!("cargo:rerun-if-env-changed=CLANG");
    println!("cargo:rerun-if-changed={SOURCES}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for name in ["podgate", "probe"] {
        compile(Path::new(SOURCES), &out, name);
    }
}

fn compile(sources: &Path, out: &Path, name: &str) {
    let mut builder = SkeletonBuilder::new();
    builder.source(sources.join(format!("{name}.bpf.c"))).obj(out.join(format!("{name}.bpf.o")));
    builder.clang_args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-mcpu=v3"]);
    if let Some(clang) = env::var_os("CLANG") {
        builder.clang(clang);
    }
    if let Err(error) = builder.build() {
        println!("cargo:warning=install clang (14 or newer) or set CLANG to one that has the bpf target");
        panic!("cannot compile {name}.bpf.c: {error:#}");
    }
}
