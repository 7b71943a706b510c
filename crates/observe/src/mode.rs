//! Which policies decide, and which are only watched.

use std::str::FromStr;

use podgate_api::Labels;

/// The annotation of a policy, or of a namespace for all policies in it, that says its mode.
pub const MODE_ANNOTATION: &str = "podgate.dev/mode";

/// Whether a policy decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It decides.
    #[default]
    Enforced,
    /// It is evaluated beside those that decide, and only told of.
    Staged,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        match text {
            "enforced" => Ok(Mode::Enforced),
            "staged" => Ok(Mode::Staged),
            _ => Err(format!("{MODE_ANNOTATION}: {text:?} is no mode: use enforced or staged")),
        }
    }
}

/// What an object's annotations say; `None`: nothing.
///
/// # Errors
/// When they say what can't be understood. It doesn't stage anything then: a slip must not open a cluster.
pub fn mode_of(annotations: &Labels) -> Option<Result<Mode, String>> {
    annotations.get(MODE_ANNOTATION).map(|text| text.parse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_word_stages() {
        let annotated = |text: &str| mode_of(&[(MODE_ANNOTATION.to_owned(), text.to_owned())].into());
        assert_eq!(annotated("staged"), Some(Ok(Mode::Staged)));
        assert_eq!(annotated("enforced"), Some(Ok(Mode::Enforced)));
        assert!(annotated("Staged").unwrap().unwrap_err().contains("\"Staged\""));
        assert_eq!(mode_of(&Labels::default()), None);
    }
}
