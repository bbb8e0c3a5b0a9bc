using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;

namespace Sluice.Operations.Publishing;

/// <summary>
/// Publishes the site within a second of each change: looks at the version a few times a second, waits until it rests for a moment (an import changes it again and again), writes what differs, and tells the caches.
/// Several nodes may do it at once; they do the same.
/// </summary>
public sealed partial class SitePublisher : BackgroundService
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(150), RestMax = TimeSpan.FromMilliseconds(450), PauseAfterFailure = TimeSpan.FromSeconds(2);

    private readonly Site site;
    private readonly List<(ISiteTarget Target, Progress Progress)> targets;
    private readonly EdgePurge purge;
    private readonly PublishOptions options;
    private readonly TimeProvider time;
    private readonly ILogger<SitePublisher> log;
    private long seenVersion = -1;
    private long changedSince, purgedAt;

    public SitePublisher(Site site, IEnumerable<ISiteTarget> targets, EdgePurge purge, PublishOptions options, TimeProvider time, ILogger<SitePublisher> log)
    {
        (this.site, this.purge, this.options, this.time, this.log) = (site, purge, options, time, log);
        this.targets = [.. targets.Select(target => (target, new Progress()))];
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Rounds.RunAsync(() => RoundAsync(stoppingToken), Look, (error, says) => LogFailed(log, error is IOException ? null : error, says), time, stoppingToken);

    /// <summary>One look, and what follows from it.</summary>
    internal async Task RoundAsync(CancellationToken cancel)
    {
        var version = await site.VersionAsync();
        var isResting = version == seenVersion;
        changedSince = changedSince == 0 ? time.GetTimestamp() : changedSince;
        seenVersion = version;
        var failures = new List<Exception>();
        var changed = new List<string>();
        foreach (var (target, progress) in targets)
        {
            var isNew = progress.Version != version;
            if (progress.FailedAt != 0 && time.GetElapsedTime(progress.FailedAt) < PauseAfterFailure)
            {
                continue;
            }

            if ((isNew && (isResting || progress.Version is null || time.GetElapsedTime(changedSince) > RestMax)) || time.GetElapsedTime(progress.At) > options.CheckEvery)
            {
                changed.AddRange(await PublishAsync(target, progress, failures, cancel));
            }
        }

        if (targets.TrueForAll(one => one.Progress.Version == version))
        {
            changedSince = 0;
        }

        // A cache that does not answer holds up no publishing.
        if (changed.Count > 0 || (purge.IsWaiting && time.GetElapsedTime(purgedAt) > PauseAfterFailure))
        {
            try
            {
                await purge.TellAsync(changed.Count == 0 ? [] : [.. changed.Union(site.AskedWithQueries, StringComparer.Ordinal)], cancel);
                if (options.HasCaches)
                {
                    LogTold(log, changed.Count);
                }
            }
            catch (IOException e)
            {
                failures.Add(e);
                purgedAt = time.GetTimestamp();
            }
        }

        if (failures is [var first, ..])
        {
            throw first;
        }
    }

    private async Task<IReadOnlyList<string>> PublishAsync(ISiteTarget target, Progress progress, List<Exception> failures, CancellationToken cancel)
    {
        try
        {
            var started = time.GetTimestamp();
            progress.FailedAt = 0;
            if (await target.PublishAsync(site, cancel) is not { } change)
            {
                return [];
            }

            (progress.Version, progress.At) = (change.Manifest.Version, time.GetTimestamp());
            if (change.ChangedUrls.Count > 0)
            {
                LogPublished(log, change.Manifest.Version, target.Describe, change.Manifest.Files.Count, change.ChangedUrls.Count, (long)time.GetElapsedTime(started).TotalMilliseconds);
            }

            return change.ChangedUrls;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The other targets are not held up by this one.
            failures.Add(e);
            progress.FailedAt = time.GetTimestamp();
            return [];
        }
    }

    private sealed class Progress
    {
        public long? Version { get; set; }

        public long At { get; set; }

        public long FailedAt { get; set; }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Version {Version} published to {Target}: {Files} files, {Changed} of them changed, {Milliseconds} ms")]
    private static partial void LogPublished(ILogger log, long version, string target, int files, int changed, long milliseconds);

    [LoggerMessage(Level = LogLevel.Information, Message = "The caches in front forget {Changed} addresses")]
    private static partial void LogTold(ILogger log, int changed);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Publishing failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);
}
