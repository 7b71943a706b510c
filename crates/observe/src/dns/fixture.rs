//! Answers of name servers, for tests.

use std::net::IpAddr;

/// A response in the making.
#[derive(Clone)]
pub(crate) struct Response {
    asked: String,
    records: Vec<(String, u32, String)>,
}

impl Response {
    pub(crate) fn to(asked: &str) -> Response {
        Response { asked: asked.to_owned(), records: Vec::new() }
    }

    /// With a record: an address, or another name.
    pub(crate) fn with(mut self, owner: &str, ttl: u32, data: &str) -> Response {
        self.records.push((owner.to_owned(), ttl, data.to_owned()));
        self
    }

    /// In wire format; owners that are the question's name point to it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0, 7, 0x81, 0x80, 0, 1, 0, self.records.len() as u8, 0, 0, 0, 0];
        bytes.extend(name(&self.asked));
        bytes.extend([0, 1, 0, 1]);
        for (owner, ttl, data) in &self.records {
            match *owner == self.asked {
                true => bytes.extend([0xc0, 12]),
                false => bytes.extend(name(owner)),
            }
            let (kind, data) = match data.parse() {
                Ok(IpAddr::V4(ip)) => (1, ip.octets().to_vec()),
                Ok(IpAddr::V6(ip)) => (28, ip.octets().to_vec()),
                Err(_) => (5, name(data)),
            };
            bytes.extend([0, kind, 0, 1]);
            bytes.extend(ttl.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }
}

fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}
