//! `quorate completions`: completion scripts for shells.

use clap::{Args as ClapArgs, CommandFactory};
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::exit::Outcome;
use crate::output;

/// Print a script with which a shell completes commands and options.
///
/// Save the script where the shell looks for completion scripts, and write it again after each
/// update of this program.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate completions bash > ~/.local/share/bash-completion/completions/quorate
  quorate completions zsh > ~/.zfunc/_quorate        with ~/.zfunc in $fpath, before compinit runs
  quorate completions fish > ~/.config/fish/completions/quorate.fish")]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Runs `quorate completions`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    output::write(&script(args.shell))?;
    Ok(Outcome::Yes)
}

fn script(shell: Shell) -> String {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    String::from_utf8(script).expect("names and help texts are UTF-8")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_script_contains_every_command() {
        let commands: Vec<String> =
            Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in &commands {
                assert!(script.contains(command), "the script of {shell} lacks {command}");
            }
        }
    }
}
