//! What a rule does for each value that it matches: `setvar` and `ctl`. No IO.

mod set_var;

use coraza_seclang::rules::{Ctl, Phase, Variable};

use crate::program::{Action, Member};
use crate::transaction::State;

impl State {
    /// Runs the actions of a rule that are not disruptive, in order.
    pub(crate) fn act(&mut self, member: &Member, phase: Phase) {
        for action in &member.actions {
            match action {
                Action::SetVar(set_var) => self.set_var(set_var),
                Action::Ctl(ctl) => self.ctl(ctl, phase),
                Action::RemoveRules(selector) => self.control.remove_rules(selector),
                Action::RemoveTargets(removal) => self.control.remove_targets(removal),
            }
        }
    }

    fn ctl(&mut self, ctl: &Ctl, phase: Phase) {
        // Rules that come later in phase 1 ask which processor it will be.
        if let Ctl::RequestBodyProcessor(processor) = ctl
            && phase == Phase::RequestHeaders
        {
            self.variables
                .set(Variable::ReqbodyProcessor, processor.name().as_bytes());
        }
        self.control.apply(ctl, phase);
    }
}
