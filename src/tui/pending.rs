//! A request to a worker, and its answer.

/// The last request and its answer. Answers to earlier requests are dropped: the user has moved on.
#[derive(Clone, Debug)]
pub struct Pending<R, A> {
    pub request: Option<R>,
    /// `None` until the worker answers.
    pub answer: Option<A>,
}

impl<R, A> Default for Pending<R, A> {
    fn default() -> Self {
        Self {
            request: None,
            answer: None,
        }
    }
}

impl<R: Clone + PartialEq, A> Pending<R, A> {
    /// Replaces the request, and returns it if it differs from the last one.
    pub fn ask(&mut self, request: Option<R>) -> Option<R> {
        if self.request == request {
            return None;
        }
        self.answer = None;
        self.request.clone_from(&request);
        request
    }

    pub fn answered(&mut self, request: &R, answer: A) {
        if self.request.as_ref() == Some(request) {
            self.answer = Some(answer);
        }
    }
}
