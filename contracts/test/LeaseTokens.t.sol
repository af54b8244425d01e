// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ILeaseEscrow, Offer} from "../src/interfaces/ILeaseEscrow.sol";
import {BlockingToken, FeeToken, ReenteringToken, SmartAccount} from "./support/OddTokens.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Tokens and accounts that misbehave: rules 11, 12 and 21.
contract LeaseTokensTest is LeaseWorld {
    function setUp() public {
        _deployLeases();
    }

    /// @notice Rule 11: a token that keeps a fee is never credited in full.
    function test_rule11_feeOnTransferIsRefused() public {
        FeeToken token = new FeeToken();
        token.mint(LESSEE, 1_000_000);
        token.mint(lessor, 1_000_000);
        Offer memory o = _offerIn(address(token));
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.WrongAmount.selector, 9_900, 10_000));
        escrow.open(o, signature, _with(DEPOSIT));
    }

    /// @notice Rule 11: a blocked payee blocks nobody else.
    function test_rule11_blockedPayeeBlocksNobody() public {
        BlockingToken token = new BlockingToken();
        token.mint(LESSEE, 1_000_000);
        token.mint(lessor, 1_000_000);
        uint64 lease = _open(_offerIn(address(token)), DEPOSIT);
        token.block_(PAYEE);
        _close(lease, 100, 0);
        vm.prank(LESSEE);
        escrow.withdraw(address(token));
        vm.prank(lessor);
        escrow.withdraw(address(token));
        vm.prank(PAYEE);
        vm.expectRevert(bytes("blocked"));
        escrow.withdraw(address(token));
        token.block_(address(0));
        vm.prank(PAYEE);
        escrow.withdraw(address(token));
    }

    /// @notice Rule 12: paying out cannot be re-entered, and pays once.
    function test_rule12_reentrancy() public {
        ReenteringToken token = new ReenteringToken();
        token.mint(address(token), 1_000_000);
        token.mint(LESSEE, 1_000_000);
        token.mint(lessor, 1_000_000);
        Offer memory o = _offerIn(address(token));
        o.payee = address(token);
        uint64 lease = _open(o, DEPOSIT);
        _close(lease, 100, 0);
        token.arm(escrow);
        uint256 due = escrow.claimable(address(token), LESSEE);
        uint256 held = token.balanceOf(address(escrow));
        vm.prank(LESSEE);
        escrow.withdraw(address(token));
        yes(!token.reentered(), "re-entered");
        eq(token.balanceOf(address(escrow)), held - due, "paid once");
    }

    function test_rule11_tokenMustBeAllowed() public {
        Offer memory o = _offer();
        escrow.setToken(address(dollar), false, 0);
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.TokenNotAllowed.selector, address(dollar)));
        escrow.open(o, signature, _with(DEPOSIT));
    }

    /// @notice Rule 21: a smart account's consent counts when the lease opens and is not asked again.
    function test_rule21_smartAccountChangesItsMind() public {
        SmartAccount account = new SmartAccount();
        vm.prank(lessor);
        devices.transferFrom(lessor, address(account), tokenId);
        dollar.mint(address(account), BOND);
        account.call(address(dollar), abi.encodeCall(dollar.approve, (address(escrow), BOND)));
        Offer memory o = _offer();
        o.lessor = address(account);
        vm.prank(LESSEE);
        vm.expectRevert(ILeaseEscrow.BadSignature.selector);
        escrow.open(o, "", _with(DEPOSIT));
        account.accept(escrow.offerDigest(o));
        vm.prank(LESSEE);
        uint64 lease = escrow.open(o, "", _with(DEPOSIT));
        account.accept(0);
        _close(lease, 100, 0);
        yes(_claimable(PAYEE) != 0, "paid all the same");
    }

    function _offerIn(address token) private returns (Offer memory o) {
        escrow.setToken(token, true, 0);
        _approve(token, LESSEE);
        _approve(token, lessor);
        o = _offer();
        o.token = token;
    }

    function _approve(address token, address account) private {
        vm.prank(account);
        (bool ok,) = token.call(abi.encodeWithSignature("approve(address,uint256)", address(escrow), type(uint256).max));
        yes(ok, "approve");
    }
}
