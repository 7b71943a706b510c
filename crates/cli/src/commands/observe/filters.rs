//! The filters of `podgate observe`, each of which `--not` in front of it turns round.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use podgate_flow::{FLAGS, Filter, Given, UnusableFilter};

use crate::outcome::Failure;

/// The filters in the order that they were given in.
#[derive(Clone, Debug, Default)]
pub struct Filters(Vec<Given>);

impl Args for Filters {
    fn augment_args(command: Command) -> Command {
        let not = Arg::new("not")
            .long("not")
            .help("Turns the next filter round")
            .help_heading("Filters")
            .action(ArgAction::Append)
            .num_args(0)
            .default_missing_value("true");
        FLAGS.iter().fold(command.arg(not), |command, flag| {
            let mut arg = Arg::new(flag.name)
                .long(flag.name)
                .help(flag.help)
                .help_heading("Filters")
                .action(ArgAction::Append);
            arg = match flag.value {
                Some(name) => arg.value_name(name),
                None => arg.num_args(0).default_missing_value("true"),
            };
            command.arg(match flag.short {
                Some(letter) => arg.short(letter),
                None => arg,
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Filters {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Filters, clap::Error> {
        let nots: Vec<usize> = matches.indices_of("not").into_iter().flatten().collect();
        let mut given = Vec::new();
        for flag in FLAGS {
            let values = matches.get_many::<String>(flag.name).into_iter().flatten();
            for (at, value) in matches.indices_of(flag.name).into_iter().flatten().zip(values) {
                // A flag and its value count one each, and so do `--not` and the value that it stands for.
                let not = at.checked_sub(2).is_some_and(|before| nots.contains(&before));
                given.push((at, Given { flag, value: value.clone(), not }));
            }
        }
        let turned = given.iter().filter(|(_, given)| given.not).count();
        if turned != nots.len() {
            return Err(clap::Error::raw(
                clap::error::ErrorKind::ValueValidation,
                "--not has to stand in front of a filter, such as --not --verdict FORWARDED\n",
            ));
        }
        given.sort_by_key(|(at, _)| *at);
        Ok(Filters(given.into_iter().map(|(_, given)| given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Filters::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Filters {
    /// What has to fit, and what must not.
    pub fn filter(&self) -> Result<Filter, Failure> {
        Filter::of(&self.0).map_err(|UnusableFilter { name, value, why, .. }| {
            Failure::bad(format!("--{name} {value}: {why}"))
        })
    }
}

#[cfg(test)]
mod tests;
