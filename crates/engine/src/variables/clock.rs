//! When a transaction began and how long it has taken, as its owner says: the engine has no clock. No IO.

use std::time::Duration;

use coraza_seclang::rules::Variable;

/// The time of a transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// Since 1970-01-01 in UTC.
    pub(crate) started: Duration,
    /// Since then.
    pub(crate) elapsed: Duration,
}

impl Clock {
    /// When the transaction began, as in ModSecurity's audit log, in UTC: `Thu Jan  1 00:00:00 1970`.
    pub(crate) fn stamp(&self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let name = |names: &[&'static str], at: u64| {
            let at = usize::try_from(at).unwrap_or_default();
            names.get(at).copied().unwrap_or_default()
        };
        let now = self.started.as_secs();
        let (year, month, day) = civil(now / 86_400);
        let (hour, minute, second) = (now / 3600 % 24, now / 60 % 60, now % 60);
        let weekday = name(&DAYS, now / 86_400 % 7);
        let month = name(&MONTHS, month - 1);
        format!("{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}")
    }

    /// The value of a `TIME` variable or of `DURATION`, in UTC; `None` for other variables.
    pub(crate) fn read(&self, variable: Variable) -> Option<String> {
        let now = self.started.saturating_add(self.elapsed).as_secs();
        let (days, second) = (now / 86_400, now % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (year, month, day) = civil(days);
        Some(match variable {
            Variable::Time => format!("{hour:02}:{minute:02}:{second:02}"),
            Variable::TimeDay => day.to_string(),
            Variable::TimeEpoch => now.to_string(),
            Variable::TimeHour => hour.to_string(),
            Variable::TimeMin => minute.to_string(),
            // Counted from 0, like the days of the week, which begin on Sunday; 1970-01-01 was a Thursday.
            Variable::TimeMon => (month - 1).to_string(),
            Variable::TimeSec => second.to_string(),
            Variable::TimeWday => ((days + 4) % 7).to_string(),
            Variable::TimeYear => year.to_string(),
            Variable::Duration => self.elapsed.as_micros().to_string(),
            _ => return None,
        })
    }
}

/// Year, month (1 to 12) and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that leap days come last in their year; a cycle of 400 years has 146,097 days.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycle * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_utc() {
        let clock = |seconds, micros| Clock {
            started: Duration::from_secs(seconds),
            elapsed: Duration::from_micros(micros),
        };
        let leap_day = clock(951_868_799, 1_500_000);
        for (variable, expected) in [
            (Variable::Time, "00:00:00"),
            (Variable::TimeDay, "1"),
            (Variable::TimeMon, "2"),
            (Variable::TimeYear, "2000"),
            (Variable::TimeWday, "3"),
            (Variable::TimeEpoch, "951868800"),
            (Variable::TimeHour, "0"),
            (Variable::TimeMin, "0"),
            (Variable::TimeSec, "0"),
            (Variable::Duration, "1500000"),
        ] {
            assert_eq!(leap_day.read(variable).as_deref(), Some(expected), "{variable}");
        }
        assert_eq!(clock(951_868_799, 0).read(Variable::TimeDay).as_deref(), Some("29"));
        assert_eq!(clock(0, 0).read(Variable::TimeYear).as_deref(), Some("1970"));
        assert_eq!(clock(0, 0).read(Variable::Args), None);
        assert_eq!(clock(0, 0).stamp(), "Thu Jan  1 00:00:00 1970");
        assert_eq!(clock(951_868_799, 0).stamp(), "Tue Feb 29 23:59:59 2000");
    }
}
