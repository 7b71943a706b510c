//! `podgate completion`: what shells need to complete arguments.

use clap::Args;
use clap_complete::Shell;

use crate::outcome::{FINE, Outcome};

/// Print the completion script of a shell
///
/// Source it, or put it where the shell looks for such scripts, for example:
///
///   podgate completion bash > ~/.local/share/bash-completion/completions/podgate
///   podgate completion zsh > ~/.zfunc/_podgate
///   podgate completion fish > ~/.config/fish/completions/podgate.fish
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "podgate", &mut script);
    crate::output::raw(&script)?;
    Ok(FINE)
}
