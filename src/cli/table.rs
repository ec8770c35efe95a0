//! Plain tables: the first column left-aligned, the others right-aligned, no lines.

use unicode_width::UnicodeWidthStr;

use super::terminal::{Paint, Role};

const GAP: &str = "  ";

#[derive(Clone, Debug)]
pub(super) struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<'a>(heading: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            heading: heading.into_iter().map(str::to_owned).collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Drops the last columns until the rows fit, but keeps the first `kept`. Returns the headings of those dropped.
    pub(super) fn fit(&mut self, columns: usize, kept: usize) -> Vec<String> {
        let mut widths = self.widths();
        while widths.len() > kept && widths.iter().sum::<usize>() + GAP.len() * (widths.len() - 1) > columns {
            widths.pop();
        }
        for row in &mut self.rows {
            row.truncate(widths.len());
        }
        self.heading.split_off(widths.len())
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = std::iter::once(&self.heading).chain(&self.rows);
            cells.map(|row| row[column].width()).max().unwrap_or(0)
        };
        (0..self.heading.len()).map(width).collect()
    }

    pub(super) fn render(&self, paint: Paint) -> String {
        let widths = self.widths();
        let mut text = format!("{}\n", paint.text(Role::Heading, &line(&self.heading, &widths)));
        for row in &self.rows {
            text.push_str(&line(row, &widths));
            text.push('\n');
        }
        text
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells
        .iter()
        .zip(widths)
        .enumerate()
        .map(|(column, (cell, width))| {
            let blanks = " ".repeat(width - cell.width());
            if column == 0 {
                format!("{cell}{blanks}")
            } else {
                format!("{blanks}{cell}")
            }
        });
    padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_columns_are_dropped_until_rows_fit() {
        let table = |columns, kept| {
            let mut table = Table::new(["run", "state", "epoch", "host"]);
            table.row(["first", "complete", "4.0/4", "here"].map(String::from));
            (table.fit(columns, kept), table.render(Paint::Plain))
        };
        assert_eq!(table(28, 2).0, [""; 0]);
        let (dropped, text) = table(27, 2);
        assert_eq!(dropped, ["host"]);
        assert_eq!(text, "run       state  epoch\nfirst  complete  4.0/4\n");
        assert_eq!(table(1, 2).0, ["epoch", "host"]);
    }

    #[test]
    fn columns_are_aligned_with_headings() {
        let mut table = Table::new(["metric", "score"]);
        table.row(["BLEU-1".into(), "0.5812".into()]);
        table.row(["犬".into(), "1".into()]);
        assert_eq!(
            table.render(Paint::Plain),
            "metric   score\nBLEU-1  0.5812\n犬           1\n"
        );
    }
}
