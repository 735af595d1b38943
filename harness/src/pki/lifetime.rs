//! Dates that put the present where a [`Validity`] says it is.

use time::{Duration, OffsetDateTime};

use super::Validity;

/// How far the present lies beyond a bound that it is meant to be beyond: more than the clocks of two parties differ.
pub(super) const BEYOND: Duration = Duration::hours(1);

/// How long a kind of certificate lives, and how old it is while current.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    /// From `notBefore` to `notAfter`.
    length: Duration,
    /// From `notBefore` to the present.
    age: Duration,
}

impl Lifetime {
    /// As in the certificate recorded from istiod 1.30.3: 24 hours as the agent requests, and `notBefore` two minutes
    /// back against clock skew (`ClockSkewGracePeriod` in Istio's security/pkg/pki/util/generate_cert.go).
    pub(super) const LEAF: Self = Self {
        length: Duration::minutes(24 * 60 + 2),
        age: Duration::minutes(2),
    };
    /// Two years, as the plugged-in intermediate of the recording.
    pub(super) const INTERMEDIATE: Self = Self {
        length: Duration::days(730),
        age: Duration::days(30),
    };
    /// Ten years, as istiod's own root and the plugged-in one of the recording.
    pub(super) const ROOT: Self = Self {
        length: Duration::days(3650),
        age: Duration::days(365),
    };

    /// `notBefore` and `notAfter` of a certificate that ends soon, in whole seconds as certificates count: 5 to 6 s
    /// from `now`. Coming into force, and the requests of a load, take 0.2 s of it on an idle machine, and twenty times
    /// as long on a crowded one.
    pub(super) fn ending_soon(self, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
        let end = now.replace_millisecond(0).unwrap_or(now) + Duration::seconds(6);
        (end - self.length, end)
    }

    /// `notBefore` and `notAfter` of a certificate whose present is `now`.
    ///
    /// An expired certificate expired an hour ago; one that is not valid yet becomes valid in an hour.
    pub(super) fn around(self, now: OffsetDateTime, validity: Validity) -> (OffsetDateTime, OffsetDateTime) {
        let start = match validity {
            Validity::Current => now - self.age,
            Validity::Expired => now - BEYOND - self.length,
            Validity::NotYetValid => now + BEYOND,
        };
        (start, start + self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_lies_where_the_validity_says() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        for lifetime in [Lifetime::LEAF, Lifetime::INTERMEDIATE, Lifetime::ROOT] {
            for validity in [Validity::Current, Validity::Expired, Validity::NotYetValid] {
                let (start, end) = lifetime.around(now, validity);
                let shown = match (start <= now, now <= end) {
                    (true, true) => Validity::Current,
                    (true, false) => Validity::Expired,
                    (false, _) => Validity::NotYetValid,
                };
                assert_eq!(shown, validity, "{lifetime:?}");
                assert_eq!(end - start, lifetime.length);
            }
        }
    }
}
