//! The table of goals: a ratio first, what was asked of it, and what it is a ratio of.

use super::Spread;

/// What is asked of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It stands there for comparison.
    None,
}

/// A line of the table.
pub(crate) struct Row {
    /// `None` where what it is compared with was not there.
    pub(crate) figure: Option<Spread>,
    pub(crate) goal: Goal,
    pub(crate) work: String,
    pub(crate) ours: String,
    /// What ours is compared with: who, and how fast.
    pub(crate) beside: String,
}

/// Prints lines as they come, and counts.
#[derive(Debug, Default)]
pub(crate) struct Table {
    met: usize,
    missed: usize,
    not_measured: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    NotMeasured,
    NothingAsked,
}

impl Table {
    /// A table with its head printed.
    pub(crate) fn start() -> Self {
        print_line(["ratio", "goal", "", "work", "ours", "beside"].map(str::to_owned));
        Self::default()
    }

    pub(crate) fn print(&mut self, row: Row) {
        let verdict = row.verdict();
        match verdict {
            Verdict::Met => self.met += 1,
            Verdict::Missed => self.missed += 1,
            Verdict::NotMeasured => self.not_measured += 1,
            Verdict::NothingAsked => {}
        }
        let figure = row.figure.map_or("-".into(), |spread| spread.to_string());
        let verdict = verdict.word().to_owned();
        print_line([figure, row.goal.text(), verdict, row.work, row.ours, row.beside]);
    }

    /// How many goals are met.
    pub(crate) fn end(self) {
        let Self {
            met,
            missed,
            not_measured,
        } = self;
        println!("\n{met} goals met, {missed} missed, {not_measured} not measured");
    }
}

fn print_line([figure, goal, verdict, work, ours, beside]: [String; 6]) {
    println!("{figure:<19} {goal:<7} {verdict:<12}  {work:<48}  {ours:<17}  {beside}");
}

impl Row {
    fn verdict(&self) -> Verdict {
        let met = match (&self.figure, self.goal) {
            (_, Goal::None) => return Verdict::NothingAsked,
            (None, _) => return Verdict::NotMeasured,
            (Some(spread), Goal::AtLeast(least)) => spread.median() >= least,
            (Some(spread), Goal::AtMost(most)) => spread.median() <= most,
        };
        if met { Verdict::Met } else { Verdict::Missed }
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::NotMeasured => "NOT MEASURED",
            Self::NothingAsked => "",
        }
    }
}

impl Goal {
    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!(">= {least}"),
            Self::AtMost(most) => format!("<= {most}"),
            Self::None => String::new(),
        }
    }
}
