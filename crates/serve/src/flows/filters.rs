//! The filters of flows among the parameters of a request: `podgate observe`'s, each with `not-` in front as well.

use podgate_flow::{Filter, Flag, Given, UnusableFilter};

/// Reads them; the other parameters are somebody else's.
pub fn parse(parameters: &[(String, String)]) -> Result<Filter, String> {
    let given = |(name, value): &(String, String)| {
        Flag::named(name).map(|(flag, not)| Given { flag, value: value.clone(), not })
    };
    let given: Vec<Given> = parameters.iter().filter_map(given).collect();
    Filter::of(&given).map_err(|why: UnusableFilter| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Filter, String> {
        parse(&form_urlencoded::parse(query.as_bytes()).into_owned().collect::<Vec<_>>())
    }

    #[test]
    fn filters_are_read_among_other_parameters() {
        let filter = read("since=1h&to-port=53&not-workload=shop%2Fweb%5BDeployment%5D").unwrap();
        assert_eq!(filter.any_of[0].destination.ports, [53]);
        assert_eq!(filter.none_of[0].source.workloads[0].to_string(), "shop/Deployment/web");
        assert!(read("since=1h").unwrap().any_of.is_empty());
    }

    #[test]
    fn what_means_nothing_is_said_as_it_was_written() {
        for (query, said) in
            [("verdict=maybe", "verdict=maybe: write ALLOWED"), ("not-ip=x", "not-ip=x: write an")]
        {
            let error = read(query).unwrap_err();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
