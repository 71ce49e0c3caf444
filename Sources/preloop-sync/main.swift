import Bootstrap

await Program.run(SyncCommand.self)
