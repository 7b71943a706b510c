//! Every route of the API: what it takes and what it answers. The document and the check of parameters are made from
//! this one list.

use axum::response::Response;
use podgate_flow::FLAGS;
use serde::Serialize;

use crate::ask::Ask;
use crate::fault::Fault;
use crate::{
    complete, events, findings, flows, map, matrix, places, policies, posture, recommend, status, what_if,
    why,
};

/// Where the API begins.
pub const PREFIX: &str = "/api/v1";

/// A route.
pub struct Route {
    /// Below [`PREFIX`]; `{id}` stands for one segment.
    pub path: &'static str,
    /// How it is asked.
    pub takes: Takes,
    /// Its name in programs made from the document.
    pub operation: &'static str,
    /// What it answers, in a sentence.
    pub summary: &'static str,
    /// Parameters of its own.
    pub parameters: &'static [Parameter],
    /// It takes the filters of flows as well.
    pub filters: bool,
    /// What it answers with.
    pub answer: Answer,
}

/// How a route is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// GET.
    Get,
    /// POST, with a body of this schema.
    Post(&'static str),
}

/// What a route answers with.
#[derive(Clone, Copy)]
pub enum Answer {
    /// JSON of this schema, or of none that is written down.
    Json(Option<&'static str>, fn(&Ask) -> Result<Vec<u8>, Fault>),
    /// Server-sent events: each one's name and the schema of its data.
    Events(&'static [(&'static str, &'static str)], fn(Ask) -> Result<Response, Fault>),
}

fn json(answer: Result<impl Serialize, Fault>) -> Result<Vec<u8>, Fault> {
    answer.map(|answer| serde_json::to_vec(&answer).expect("answers are JSON"))
}

/// A parameter of a route.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// What it looks like.
    pub form: Form,
    /// It may be left out.
    pub optional: bool,
    /// It may be given several times.
    pub repeats: bool,
}

/// What a parameter looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any text.
    Text,
    /// A number within these, and what it is when it is left out.
    Number(u64, u64, u64),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A segment of the path.
    Segment,
}

impl Parameter {
    const fn new(name: &'static str, form: Form, help: &'static str) -> Parameter {
        Parameter { name, help, form, optional: true, repeats: false }
    }

    const fn required(self) -> Parameter {
        Parameter { optional: false, ..self }
    }

    const fn repeating(self) -> Parameter {
        Parameter { repeats: true, ..self }
    }
}

const SINCE: Parameter = Parameter::new(
    "since",
    Form::Text,
    "Flows from then on: RFC 3339, or a length such as `10m` before now; all that are kept without it.",
);
const UNTIL: Parameter =
    Parameter::new("until", Form::Text, "Flows before then, written as `since`; until now without it.");
const NAMESPACE: Parameter =
    Parameter::new("namespace", Form::Text, "Only what has an end in one of these namespaces.").repeating();
const FROM: Parameter =
    Parameter::new("from", Form::Text, "Who connects: a place's `id`, or its `end`.").required();
const TO: Parameter = Parameter::new("to", Form::Text, "To whom: a place's `id`, or its `end`.").required();
const ID: Parameter = Parameter::new("id", Form::Segment, "A flow's id.").required();

/// The routes, in the order of the document.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/status",
        takes: Takes::Get,
        operation: "status",
        summary: "What the page is about and how fresh it is.",
        parameters: &[],
        filters: false,
        answer: Answer::Json(Some("Status"), |ask| json(status::status(ask))),
    },
    Route {
        path: "/events",
        takes: Takes::Get,
        operation: "events",
        summary: "The status now, and again whenever it changes.",
        parameters: &[],
        filters: false,
        answer: Answer::Events(&[("status", "Status")], events::statuses),
    },
    Route {
        path: "/posture",
        takes: Takes::Get,
        operation: "posture",
        summary: "How much is protected, what is open, and what goes wrong.",
        parameters: &[SINCE, UNTIL],
        filters: false,
        answer: Answer::Json(Some("Posture"), |ask| json(posture::posture(ask))),
    },
    Route {
        path: "/map",
        takes: Takes::Get,
        operation: "map",
        summary: "Who may connect to whom and who does, laid out.",
        parameters: &[
            Parameter::new(
                "scope",
                Form::OneOf(&["namespaces", "workloads", "pods"]),
                "What the nodes are; `workloads` without it.",
            ),
            NAMESPACE,
            Parameter::new("focus", Form::Text, "Only this place, by its id, and what it has edges with."),
            SINCE,
            UNTIL,
            Parameter::new("edges", Form::Number(0, 50_000, 500), "How many edges at most."),
        ],
        filters: false,
        answer: Answer::Json(Some("MapView"), |ask| json(map::map(ask))),
    },
    Route {
        path: "/edge",
        takes: Takes::Get,
        operation: "edge",
        summary: "What policy says of connections between two places, and what was seen of them.",
        parameters: &[FROM, TO, SINCE, UNTIL],
        filters: false,
        answer: Answer::Json(Some("EdgeDetails"), |ask| json(why::edge(ask))),
    },
    Route {
        path: "/matrix",
        takes: Takes::Get,
        operation: "matrix",
        summary: "The truth table: expected, measured and observed.",
        parameters: &[
            Parameter::new(
                "namespace",
                Form::Text,
                "Only workloads of these namespaces, and what is outside.",
            )
            .repeating(),
            SINCE,
            UNTIL,
        ],
        filters: false,
        answer: Answer::Json(Some("MatrixView"), |ask| json(matrix::matrix(ask))),
    },
    Route {
        path: "/why",
        takes: Takes::Get,
        operation: "why",
        summary: "Whether one end can reach another, and why: the answer of `podgate can -o json`.",
        parameters: &[
            FROM,
            TO,
            Parameter::new("port", Form::Text, "`80`, `TCP/80`, `dns`, `TCP/8000-8100`; all without it."),
        ],
        filters: false,
        answer: Answer::Json(Some("CanAnswer"), |ask| json(why::why(ask))),
    },
    Route {
        path: "/flows",
        takes: Takes::Get,
        operation: "flows",
        summary: "Flows that were seen, newest first.",
        parameters: &[
            SINCE,
            UNTIL,
            Parameter::new("before", Form::Text, "`next` of the page before: goes on where that ends."),
            Parameter::new("limit", Form::Number(1, 1000, 100), "How many records at most."),
        ],
        filters: true,
        answer: Answer::Json(Some("FlowPage"), |ask| json(flows::page(ask))),
    },
    Route {
        path: "/flows/stream",
        takes: Takes::Get,
        operation: "flowStream",
        summary: "Flows as they come; `lost` where some went before they could be sent.",
        parameters: &[],
        filters: true,
        answer: Answer::Events(&[("flow", "FlowRecord"), ("lost", "Missed")], events::flows),
    },
    Route {
        path: "/flows/{id}/story",
        takes: Takes::Get,
        operation: "story",
        summary: "The whole story of a flow, with the policies of its time where they are known.",
        parameters: &[ID],
        filters: false,
        answer: Answer::Json(Some("FlowStory"), |ask| json(flows::story::story(ask))),
    },
    Route {
        path: "/timeline",
        takes: Takes::Get,
        operation: "timeline",
        summary: "Connections over time.",
        parameters: &[
            SINCE,
            UNTIL,
            Parameter::new("buckets", Form::Number(1, 1000, 60), "About how many stretches of time."),
        ],
        filters: true,
        answer: Answer::Json(Some("Timeline"), |ask| json(flows::timeline(ask))),
    },
    Route {
        path: "/policies",
        takes: Takes::Get,
        operation: "policies",
        summary: "All policies, in the order in which they are asked.",
        parameters: &[SINCE],
        filters: false,
        answer: Answer::Json(Some("PolicyList"), |ask| json(policies::list(ask))),
    },
    Route {
        path: "/policies/{id}",
        takes: Takes::Get,
        operation: "policy",
        summary: "A policy with its subjects, rules, hits, findings and YAML.",
        parameters: &[
            Parameter::new(
                "id",
                Form::Segment,
                "The policy's id, `Kind/namespace/name`, percent-encoded as one segment.",
            )
            .required(),
            SINCE,
        ],
        filters: false,
        answer: Answer::Json(Some("PolicyDetails"), |ask| json(policies::details(ask))),
    },
    Route {
        path: "/findings",
        takes: Takes::Get,
        operation: "findings",
        summary: "What `podgate check` finds.",
        parameters: &[],
        filters: false,
        answer: Answer::Json(Some("FindingList"), |ask| json(findings::list(ask))),
    },
    Route {
        path: "/what-if",
        takes: Takes::Post("Candidate"),
        operation: "whatIf",
        summary: "What a change would do. Nothing is written anywhere.",
        parameters: &[],
        filters: false,
        answer: Answer::Json(Some("WhatIf"), |ask| json(what_if::what_if(ask))),
    },
    Route {
        path: "/complete",
        takes: Takes::Post("CompleteAt"),
        operation: "complete",
        summary: "What may be written at a place of a policy.",
        parameters: &[],
        filters: false,
        answer: Answer::Json(Some("Completions"), |ask| json(complete::complete(ask))),
    },
    Route {
        path: "/recommendations",
        takes: Takes::Get,
        operation: "recommendations",
        summary: "Policies that fit what was seen.",
        parameters: &[
            SINCE,
            Parameter::new("namespace", Form::Text, "Only for workloads of these namespaces.").repeating(),
        ],
        filters: false,
        answer: Answer::Json(Some("Recommendation"), |ask| json(recommend::recommend(ask))),
    },
    Route {
        path: "/places",
        takes: Takes::Get,
        operation: "places",
        summary: "Every place that answers name, for a search.",
        parameters: &[],
        filters: false,
        answer: Answer::Json(Some("Places"), |ask| json(places::list(ask))),
    },
    Route {
        path: "/openapi.json",
        takes: Takes::Get,
        operation: "openapi",
        summary: "This document.",
        parameters: &[],
        filters: false,
        answer: Answer::Json(None, |_| json(Ok(crate::openapi()))),
    },
];

impl Route {
    /// The parameters of its query, those of filters too: name, what it means, what it looks like, whether it may be
    /// left out and whether it may be repeated.
    pub fn query(&self) -> Vec<Parameter> {
        let own = self.parameters.iter().filter(|parameter| parameter.form != Form::Segment);
        let own = own.map(|parameter| Parameter { ..*parameter });
        let filters = FLAGS.iter().filter(|_| self.filters).flat_map(|flag| {
            let form = if flag.value.is_none() { Form::OneOf(&["true"]) } else { Form::Text };
            [flag.name, flag.not].map(|name| Parameter::new(name, form, flag.help).repeating())
        });
        own.chain(filters).collect()
    }
}
