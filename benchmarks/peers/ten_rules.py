"""The ten rules of `preloop-bench cel`, and arguments of which only the last one holds."""

RULES = [
    "tool == 'delete_repository'",
    "tool.startsWith('admin_') && args.force == true",
    "args.path.startsWith('/etc/') || args.path.startsWith('/root/')",
    "args.command.contains('rm -rf') || args.command.contains('mkfs')",
    "tool == 'push' && args.branch in ['main', 'master', 'production']",
    "args.amount > 1000",
    "size(args.recipients) > 50",
    "args.recipients.exists(r, r.endsWith('@competitor.example'))",
    "has(args.dry_run) && args.environment == 'prod'",
    "args.environment == 'staging' && args.amount >= 100",
]
ARGUMENTS = {
    "path": "/home/user/project/main.swift", "command": "swift build --product tool",
    "branch": "feature/login", "amount": 250, "environment": "staging", "force": False,
    "recipients": ["ann@example.com", "bob@example.com", "eve@example.org"],
}
