//! Name look-ups through the host's resolver.

use std::convert::TryFrom;
use std::fmt;
use std::net::IpAddr;

use crate::hostcalls::raw;
use crate::memory::{receive_bytes, receive_list};

/// Name look-ups.
pub struct DNS;

/// Why a look-up failed, in words.
#[derive(Debug)]
pub struct DNSError(&'static str);

impl fmt::Display for DNSError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for DNSError {}

impl DNS {
    /// The addresses of a host: IPv6 ones if `ipv6`, else IPv4 ones.
    pub fn query_ip(name: &str, ipv6: bool) -> Result<Vec<IpAddr>, DNSError> {
        let answer = receive_list(|out, count| unsafe {
            raw::hostcall_dns_query_ip(out, count, name.as_ptr(), name.len(), ipv6.into());
        });
        let addresses = answer.ok_or(DNSError("the name could not be resolved"))?;
        addresses.iter().map(|bytes| address(bytes)).collect()
    }

    /// Sends a query in DNS wire format and returns the answer in the same.
    pub fn query_raw(query: &[u8]) -> Result<Vec<u8>, DNSError> {
        let answer = receive_bytes(|out, len| unsafe {
            raw::hostcall_dns_query_raw(out, len, query.as_ptr(), query.len());
        });
        answer.ok_or(DNSError("the query was not answered"))
    }
}

fn address(bytes: &[u8]) -> Result<IpAddr, DNSError> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(v4.into());
    }
    <[u8; 16]>::try_from(bytes)
        .map(IpAddr::from)
        .map_err(|_| DNSError("the host returned an address that is neither 4 nor 16 bytes long"))
}
