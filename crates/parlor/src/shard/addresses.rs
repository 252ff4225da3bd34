//! How many connections each address has, over all shards.
//!
//! Nothing of this exists while there is no limit. With one, a lock is taken when a connection
//! comes and when it goes, and never between.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Whose connections are counted together: an IPv4 address, or a network of 64 bits in IPv6, which
/// is what one subscriber has at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(IpAddr);

impl Source {
    fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let network = ip.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            ip @ IpAddr::V4(_) => ip,
        })
    }
}

/// The connections of each address. It is as large as the number of connections at most.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// Connections of one source.
    max: usize,
    held: Mutex<HashMap<Source, usize>>,
}

/// A connection's place among those of its address; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    addresses: Arc<Addresses>,
    source: Source,
}

impl Addresses {
    /// Lets so many connections of one address in; `None` where 0 says that there is no limit.
    pub(crate) fn new(max: usize) -> Option<Arc<Self>> {
        (max > 0).then(|| {
            Arc::new(Self {
                max,
                held: Mutex::default(),
            })
        })
    }

    /// A place for one more connection; `None` where the address has as many as it may.
    pub(super) fn take(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let source = Source::of(ip);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(source).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        drop(held);
        Some(Place {
            addresses: Arc::clone(self),
            source,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self
            .addresses
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_places_and_gets_them_back() {
        let addresses = Addresses::new(2).unwrap();
        let one = addresses.take(ip("192.0.2.1"));
        let two = addresses.take(ip("192.0.2.1"));
        assert!(one.is_some() && two.is_some());
        assert!(addresses.take(ip("192.0.2.1")).is_none());
        assert!(addresses.take(ip("192.0.2.2")).is_some());
        drop(one);
        let again = addresses.take(ip("::ffff:192.0.2.1"));
        assert!(again.is_some(), "a mapped address is the address");
        assert!(addresses.take(ip("192.0.2.1")).is_none());
        drop((two, again));
        assert!(addresses.held.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let addresses = Addresses::new(1).unwrap();
        let place = addresses.take(ip("2001:db8:0:1::1"));
        assert!(addresses.take(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(addresses.take(ip("2001:db8:0:2::1")).is_some());
        drop(place);
        assert!(addresses.take(ip("2001:db8:0:1:ffff::2")).is_some());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        assert!(Addresses::new(0).is_none());
    }
}
