//! Progress bars.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidings_load::Progress;

/// Two bars on standard error, if that is a terminal: the clients, and the time.
pub(crate) struct Bars {
    all: MultiProgress,
    clients: ProgressBar,
    time: ProgressBar,
}

impl Bars {
    pub(crate) fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let style = |template: &str| {
            // The templates are valid constants.
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸ ")
        };
        let clients = all.add(ProgressBar::new(0));
        clients.set_style(style("clients  {bar:32.cyan} {pos} of {len}"));
        let time = all.add(ProgressBar::new(0));
        time.set_style(style("time     {bar:32.cyan} {msg}"));
        Self { all, clients, time }
    }

    pub(crate) fn show(&self, progress: &Progress) {
        self.clients.set_length(progress.clients);
        self.clients.set_position(progress.connected);
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(0);
        self.time.set_length(millis(progress.run_for));
        self.time.set_position(millis(progress.elapsed.min(progress.run_for)));
        self.time.set_message(format!(
            "{:.0} of {:.0} s, {:.0} deliveries/s, p99 {:.1} ms",
            progress.elapsed.as_secs_f64(),
            progress.run_for.as_secs_f64(),
            progress.per_second,
            progress.latency_p99_ms,
        ));
    }

    /// Removes the bars from the terminal.
    pub(crate) fn clear(&self) {
        // A terminal that fails has no bars to clear.
        let _ = self.all.clear();
    }
}
