"""The manager's pages: cluster, labels, builds, versions side by side, a form that submits."""
