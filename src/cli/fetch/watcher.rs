//! The work of `fetch` as progress bars and events.

use std::cell::RefCell;
use std::ops::ControlFlow;

use crate::cli::Context;
use crate::cli::interrupt::Interrupt;
use crate::cli::job::Job;
use crate::cli::progress::{BYTES, Figures, Progress, Task};
use crate::cli::terminal::display_safe;
use crate::fetch::FetchObserver;
use crate::jobs::TaskProgress;

/// Shows the progress of one task after the other.
struct Bars<'a> {
    context: &'a Context,
    current: Option<Current>,
}

struct Current {
    task: String,
    done: u64,
    total: u64,
    bar: Progress,
}

impl Bars<'_> {
    fn begin(&mut self, task: &str, done: u64, total: u64) {
        // A download that continues after a broken connection is the same task.
        if let Some(current) = &self.current
            && current.task == task
            && done >= current.done
        {
            return self.update(done);
        }
        self.finish();
        let task = display_safe(task).into_owned();
        let bar = self.context.progress(Task {
            label: task.clone().into(),
            unit: BYTES,
            total,
            done,
            figures: Figures::PositionAndRate,
        });
        self.current = Some(Current {
            task,
            done,
            total,
            bar,
        });
    }

    fn update(&mut self, done: u64) {
        if let Some(current) = &mut self.current {
            current.bar.advance(done.saturating_sub(current.done));
            current.done = done;
        }
    }

    fn notice(&self, text: &str) {
        let show = || self.context.notice(&display_safe(text));
        match &self.current {
            Some(current) => current.bar.suspend(show),
            None => show(),
        }
    }

    fn finish(&mut self) {
        if let Some(current) = self.current.take() {
            current.bar.finish();
        }
    }
}

/// Work that is a job: logged, and stopped by its commands.
pub(super) struct JobWatcher<'a, 'j> {
    job: &'a Job<'j>,
    bars: RefCell<Bars<'a>>,
}

impl<'a, 'j> JobWatcher<'a, 'j> {
    pub(super) fn new(job: &'a Job<'j>, context: &'a Context) -> Self {
        let bars = Bars {
            context,
            current: None,
        };
        Self {
            job,
            bars: RefCell::new(bars),
        }
    }
}

impl FetchObserver for JobWatcher<'_, '_> {
    fn begin(&mut self, task: &str, done: u64, total: Option<u64>) {
        self.bars.borrow_mut().begin(task, done, total.unwrap_or(0));
    }

    fn update(&mut self, done: u64) -> ControlFlow<()> {
        let mut bars = self.bars.borrow_mut();
        bars.update(done);
        if let Some(current) = &bars.current {
            self.job.progress(TaskProgress {
                task: current.task.clone(),
                done,
                total: current.total,
                unit: BYTES.into(),
            });
        }
        self.job.poll_command()
    }

    fn notice(&mut self, text: &str) {
        self.bars.borrow().notice(text);
        self.job.message(text);
    }
}

impl Drop for JobWatcher<'_, '_> {
    fn drop(&mut self) {
        self.bars.borrow_mut().finish();
    }
}

/// Short work without a log.
pub(super) struct Unlogged<'a> {
    interrupt: Interrupt,
    bars: Bars<'a>,
}

impl<'a> Unlogged<'a> {
    pub(super) fn new(context: &'a Context) -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: Interrupt::install()?,
            bars: Bars {
                context,
                current: None,
            },
        })
    }
}

impl FetchObserver for Unlogged<'_> {
    fn begin(&mut self, task: &str, done: u64, total: Option<u64>) {
        self.bars.begin(task, done, total.unwrap_or(0));
    }

    fn update(&mut self, done: u64) -> ControlFlow<()> {
        self.bars.update(done);
        match self.interrupt.is_requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn notice(&mut self, text: &str) {
        self.bars.notice(text);
    }
}
