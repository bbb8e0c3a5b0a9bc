using System.Security.Cryptography;

namespace Sluice.LoadTester.Claims;

/// <summary>
/// User ids and idempotency keys of one run. The prefix is new for every run, whatever the seed, so that a rush never meets the
/// claims of an earlier one.
/// </summary>
internal sealed class BuyerNames
{
    private const string Alphabet = "abcdefghijkmnpqrstuvwxyz23456789";
    private readonly string _prefix = "rush-" + RandomNumberGenerator.GetString(Alphabet, 10);

    /// <summary>At most 64 characters of the alphabet the contract allows: rush-xxxxxxxxxx-000123.</summary>
    public string User(int buyer) => $"{_prefix}-{buyer:D6}";

    /// <summary>16–64 characters: the user and which of the user's keys this is.</summary>
    public string Key(int buyer, int keyNumber) => $"{_prefix}-{buyer:D6}-{keyNumber}";
}
