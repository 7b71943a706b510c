//! `podgate reach`: all connections that policy allows.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_analysis::World;
use podgate_analysis::ends::{End, EndError, PortSpec, Resolved};
use podgate_analysis::npguard;
use podgate_analysis::reach::{Grouping, Limit, Question, Reach, Selection};

use crate::input::{ManifestArguments, Staging, answered};
use crate::outcome::{FINE, Failure, Outcome};
use crate::{output, render, style};

/// All connections that policy allows: who reaches whom on which ports.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifests: files, directories, `-` for standard input; the current directory when none is named.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    question: QuestionArguments,
    /// Put together what is reached by the same sources, or the sources that reach the same.
    #[arg(long, value_enum, default_value_t = By::To)]
    by: By,
    /// Name every workload of a long list.
    #[arg(long)]
    all_names: bool,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
    #[command(flatten)]
    manifests: ManifestArguments,
    #[command(flatten)]
    staging: Staging,
}

/// Which connections a command is about.
#[derive(Debug, Default, Args)]
pub struct QuestionArguments {
    /// Only connections from here: namespace/pod, namespace/deploy/name, namespace/*, a label selector, an
    /// address, a CIDR, `internet`.
    #[arg(long, value_name = "END")]
    from: Option<String>,
    /// Only connections to here.
    #[arg(long, value_name = "END")]
    to: Option<String>,
    /// Only on this port: 80, TCP/80, UDP/53, TCP/8000-8100 or a port's name.
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// A group for each destination.
    To,
    /// A group for each source.
    From,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// JSON: docs/schema/reach.schema.json.
    Json,
    /// The same as YAML.
    Yaml,
    /// A line for each group of connections.
    Csv,
    /// A Markdown table.
    Md,
    /// Lines as np-guard and roxctl print them.
    Npguard,
    /// np-guard's JSON.
    NpguardJson,
    /// np-guard's CSV.
    NpguardCsv,
    /// np-guard's Markdown.
    NpguardMd,
    /// np-guard's DOT.
    NpguardDot,
}

impl Form {
    fn is_npguard(self) -> bool {
        matches!(
            self,
            Form::Npguard | Form::NpguardJson | Form::NpguardCsv | Form::NpguardMd | Form::NpguardDot
        )
    }
}

pub fn run(arguments: &Arguments) -> Outcome {
    let form = arguments.output;
    let loaded = arguments.manifests.load(&arguments.paths)?;
    let broken = loaded.has_errors();
    // What an Ingress leads to depends on pods that don't exist: any pod may be its controller.
    let world = arguments.manifests.world(loaded, form.is_npguard(), &arguments.staging)?;
    let question = arguments.question.resolve(&world, &arguments.manifests.namespace)?;
    let grouping = match arguments.by {
        By::To => Grouping::Destination,
        By::From => Grouping::Source,
    };
    if form.is_npguard() {
        let lines = npguard::lines(&world, &question);
        match form {
            Form::NpguardJson => output::json(&lines)?,
            Form::NpguardCsv => render::print(&render::npguard::csv(&lines)),
            Form::NpguardMd => render::print(&render::npguard::markdown(&lines)),
            Form::NpguardDot => render::print(&render::npguard::dot(&world, &lines)),
            _ => render::print(&render::npguard::text(&lines)),
        }
        return Ok(answered(FINE, broken));
    }
    let reach = Reach::new(&world, &question, grouping);
    match form {
        Form::Json => output::json(&reach)?,
        Form::Yaml => output::yaml(&reach)?,
        Form::Csv => render::print(&render::reach::csv(&reach)),
        Form::Md => render::print(&render::reach::markdown(&reach)),
        _ => {
            let most = if arguments.all_names { usize::MAX } else { render::reach::MOST_NAMES };
            render::print(&render::reach::text(&world, &reach, grouping, most));
        }
    }
    Ok(answered(FINE, broken))
}

impl QuestionArguments {
    /// What the arguments mean in a world.
    pub fn resolve(&self, world: &World, namespace: &str) -> Result<Question, Failure> {
        let end = |text: &Option<String>| -> Result<Option<Resolved>, Failure> {
            let Some(text) = text else { return Ok(None) };
            let end = End::parse(text, Some(namespace).filter(|name| *name != "default")).map_err(bad)?;
            let resolved = world.resolve(&end).map_err(bad)?;
            resolved.notes.iter().for_each(|note| style::note(note));
            Ok(Some(resolved))
        };
        let (from, to) = (end(&self.from)?, end(&self.to)?);
        let port = self.port.as_deref().map(PortSpec::parse).transpose().map_err(bad)?;
        let is_service = to.as_ref().is_some_and(|to| to.service.is_some());
        let mut limit = None;
        if port.is_some() || is_service {
            let all = End::parse("all", None).and_then(|end| world.resolve(&end));
            let target = match &to {
                Some(to) => to.clone(),
                None => all.map_err(bad)?,
            };
            let ports = world.resolve_ports(&target, port.as_ref()).map_err(bad)?;
            ports.notes.iter().for_each(|note| style::note(note));
            limit = Some(Limit::new(world, &ports));
        }
        let selection = |end: Option<Resolved>| end.map(|end| Selection::new(world, &end));
        Ok(Question { from: selection(from), to: selection(to), ports: limit })
    }
}

fn bad(error: EndError) -> Failure {
    Failure::bad(error.to_string())
}
