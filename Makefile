# make backup            makes a backup
# make restore           lists the backups
# make restore F=<file>  restores one (asks first; YES=1 does not ask)
# make test              checks everything
#
# Settings come from the environment, as for the service; where `cargo xtask up` has set a service up here, from it.

SHELL := /bin/bash
ENV := if [ -z "$$DATABASE_URL" ] && [ -f .run/env ]; then . .run/env; fi
# The built program where it is not installed.
FIND := PATH="$$PATH:$(CURDIR)/target/release:$(CURDIR)/target/debug"
RECOVERY := $(ENV); $(FIND); nova-recovery

.PHONY: backup restore test

backup:
	@$(RECOVERY) backup

restore:
ifdef F
	@$(RECOVERY) restore '$(F)' $(if $(YES),--yes)
else
	@$(RECOVERY) backups
endif

test:
	cargo xtask test
